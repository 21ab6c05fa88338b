"""The paper that edgecap started from, rebuilt, measured beside edgecap, and set against it.

Rampal and Mohanty (2020), "Efficient CNN-LSTM based Image Captioning using Neural Network
Compression", arXiv 2012.09708. `python -m paper --help` says how to run it; README.md, how long
it takes.
"""
