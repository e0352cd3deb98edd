"""The experiment around the renderer: data, fine-tuning, faulty pictures, comparison, report."""
