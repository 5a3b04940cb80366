"""A chat prompt: who speaks how is in the registry, what was said comes from the conversation.

Prints:

    system: You help customers of Telco. Today is Monday.
    user: Hello
    assistant: Good morning!
    user: Why is my payment late?
    - Invoice 7: due on Friday
    - Invoice 8: paid
"""

import promptwire

client = promptwire.Client()
client.register_prompt(
    "support_chat",
    [
        {"role": "system", "content": "You help customers of {{company}}. Today is {{day}}."},
        {"type": "placeholder", "name": "history"},
        {"role": "user", "content": "{{question}}"},
    ],
    model_config={"model": "m-large", "temperature": 0.2},
)
client.register_prompt(
    "invoices",
    "{% for one in invoices %}- Invoice {{ one.number }}: {{ one.status|default('open') }}\n{% endfor %}",
    syntax="jinja2",
)

history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good morning!"}]
prompt = client.load_prompt("support_chat@latest")
messages = prompt.format(company="Telco", day="Monday", history=history, question="Why is my payment late?")
for message in messages:  # what a model's client takes as its messages
    print(f"{message['role']}: {message['content']}")

invoices = [{"number": 7, "status": "due on Friday"}, {"number": 8, "status": "paid"}]
print(client.load_prompt("invoices@latest").format(invoices=invoices).strip())
