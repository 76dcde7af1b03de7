"""The audio half: is the voice synthetic?"""
