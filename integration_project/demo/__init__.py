"""The whole loop on one machine: simulated vendors, the real web server and worker, and a story that is checked."""
