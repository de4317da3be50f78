"""The playbook on booted Debian machines: one hub and two edges on a private network (`make e2e`)."""
