"""How each version does, by quality, cost and latency, from what agents log while they work.

Prints:

    v1: 200 calls, quality 0.71, 95 % answered within 889 ms
    v2: 200 calls, quality 0.93, 95 % answered within 1274 ms
    best quality for its cost: version 2
"""

import random

import promptwire

client = promptwire.Client()
client.register_prompt("telco", "Help.", tags={"token_count": "250"})
client.register_prompt("telco", "Help step by step.", tags={"token_count": "400"})
for alias, version in (("variant_a", 1), ("variant_b", 2)):
    client.set_prompt_alias("telco", alias, version)

chance = random.Random(11)
for _ in range(200):
    for alias, quality, latency in (("variant_a", 0.71, 700), ("variant_b", 0.92, 1_100)):
        prompt = client.load_prompt(f"telco@{alias}")
        # ... the agent answers with it ...
        client.log_prompt_metrics(
            prompt,  # which knows its version, and the alias that it was loaded by
            {
                "quality": chance.gauss(quality, 0.05),
                "latency_ms": chance.gauss(latency, 110),
                "cost": int(prompt.tags["token_count"]) * 0.00001,
            },
            tags={"team": "support"},
        )
client.flush_prompt_metrics()

found = {(one.version, one.metric): one for one in client.query_prompt_metrics("telco", tags={"team": "support"})}
for version in (1, 2):
    quality, latency = found[version, "quality"], found[version, "latency_ms"]
    print(f"v{version}: {quality.count} calls, quality {quality.mean:.2f}, 95 % answered within {latency.p95:.0f} ms")
best = max((1, 2), key=lambda version: found[version, "quality"].mean - 50 * found[version, "cost"].mean)
print(f"best quality for its cost: version {best}")
