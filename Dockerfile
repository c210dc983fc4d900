# The image of every Airflow service: Airflow's own, plus the locked requirements.
# The lock decides every version, so Airflow's constraints in the base image are not upgraded by chance.
FROM apache/airflow:3.3.2-python3.11

COPY --chown=airflow:root requirements.txt /opt/airflow/requirements.txt
RUN pip install --no-cache-dir --requirement /opt/airflow/requirements.txt

COPY --chown=airflow:root dags /opt/airflow/dags
COPY --chown=airflow:root plugins /opt/airflow/plugins
COPY --chown=airflow:root include /opt/airflow/include

ENV PYTHONPATH=/opt/airflow/include:/opt/airflow/plugins
