"""What happens beside the optimisation: scores, samples, files, progress."""
