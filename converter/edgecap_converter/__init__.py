"""Trains, compresses and exports captioners. The only package that imports TensorFlow."""
