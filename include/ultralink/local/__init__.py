"""Airflow on this machine, for the demo and for a first look: started, driven over REST, stopped."""
