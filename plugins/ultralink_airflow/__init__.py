"""What of UltraLink only Airflow needs: operators, retry policy, failure note."""
