"""An agent in a process of its own, with MLflow's caches as they come: for each line that it reads it loads a prompt
and says what it got. `python -m tests.mlflow.agent REGISTRY_URI TRACKING_URI`.
"""

import sys

import mlflow


def main(registry_uri: str, tracking_uri: str) -> None:
    mlflow.set_tracking_uri(tracking_uri)
    mlflow.set_registry_uri(registry_uri)
    print("ready", flush=True)
    for line in sys.stdin:
        try:
            prompt = mlflow.genai.load_prompt(line.strip())
            print(prompt.version, ",".join(prompt.aliases), prompt.tags.get("team", "-"), flush=True)
        except mlflow.MlflowException as error:
            print(error.error_code, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
