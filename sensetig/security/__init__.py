"""Who is trusted: tokens that change without a loss, devices that are revoked, certificates, and new Pis that enrol."""
