"""Token rotation, revocation, certificates, and enrolment of new Pis."""
