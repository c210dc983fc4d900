"""The UltraLink page in Airflow's UI: is the data good, what did it cost, what broke."""
