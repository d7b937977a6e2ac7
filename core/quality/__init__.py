"""What is wrong with the rows of a version, each finding with the rows it was found in."""
