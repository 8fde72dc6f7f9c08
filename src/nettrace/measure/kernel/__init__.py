"""What the kernel knows of time: stamps both ways, packet rings, its error queue, TCP_INFO, stalls."""
