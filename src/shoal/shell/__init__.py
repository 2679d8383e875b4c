"""Commands of a node that people and programs share, whatever carries them."""
