"""Compiled code that takes the place of JAX on CPUs: sources, the files made of them, and their loading."""
