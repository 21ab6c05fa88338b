"""`edgecap convert --grid`: many captioners from one file, in one table and one picture."""
