"""The service: takes reports in, watches, answers, sells."""
