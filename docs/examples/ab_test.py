"""Two versions share the traffic: each customer always gets the same one, and the better one becomes champion.

Prints:

    of 1000 customers 506 get version 1, 494 version 2
    customer-7 gets the same one again: True
    the callback told 1001 exposures
    version 2 won: champion and production are version 2
    customer-7 gets version 2
"""

import random
from collections import Counter

import promptwire

exposures: list[promptwire.Exposure] = []
client = promptwire.Client(on_exposure=exposures.append)  # for your analytics: who got what
client.register_prompt("telco", "Help.")
client.register_prompt("telco", "Help step by step.")
client.set_prompt_alias_split("telco", "production", {1: 50, 2: 50}, salt="2026-11")

given = {
    customer: client.load_prompt("telco@production", key=customer)
    for customer in (f"customer-{number}" for number in range(1_000))
}
counts = Counter(prompt.version for prompt in given.values())
print(f"of {len(given)} customers {counts[1]} get version 1, {counts[2]} version 2")
again = client.load_prompt("telco@production", key="customer-7")
print("customer-7 gets the same one again:", again == given["customer-7"])
print(f"the callback told {len(exposures)} exposures")

judge = random.Random(7)  # here your evaluation speaks
for prompt in given.values():
    # The version that was used: "telco@production" means whatever it means by now, and is refused while it is split.
    client.log_prompt_metrics(prompt, {"quality": judge.gauss({1: 0.71, 2: 0.93}[prompt.version], 0.1)})
client.flush_prompt_metrics()
# Welch's test: gives the alias `champion` to the better one, if one surely is.
winner = client.choose_champion("telco", "quality", candidates=[1, 2], apply=True, also=["production"]).version
champion, live = client.load_prompts(["telco@champion", "telco@production"])
print(f"version {winner} won: champion and production are version {live.version}")
assert champion == live
print(f"customer-7 gets version {client.load_prompt('telco@production', key='customer-7').version}")
