"""Rules over rounds and signals, and the incidents they open: pure, with the time as an argument."""
