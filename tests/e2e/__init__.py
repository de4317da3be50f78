"""The playbook on booted Debian machines: one hub and two edges on a network of their own (`make e2e`)."""
