"""What somebody sees in the first hour, on data and models that they already have."""
