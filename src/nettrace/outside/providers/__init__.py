"""Where machines come from: Fly.io, hosts by SSH, processes of this machine; one port for all three."""
