"""The video half: are faces manipulated, has the sequence of frames been tampered with?"""
