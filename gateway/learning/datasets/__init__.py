"""Data sets: training, preference and evaluation rows made of marks, recordings and files, and written for trainers."""
