"""What every request passes around its route: log, counting, token, bounds, form of answers."""
