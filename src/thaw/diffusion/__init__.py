"""The theory of diffusion, in torch alone: schedules, degradations, predictions, samplers, priors."""
