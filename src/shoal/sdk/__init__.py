"""The Python API, behind `import shoal`: one implementation on trio, and the same objects for programs without."""
