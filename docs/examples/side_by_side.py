"""What is the difference between two versions, in words and in what they cost?

Prints:

    version 1: 250 tokens, First
    version 2: 310 tokens, 5G and IoT
    --- prompts:/telco/1 template
    +++ prompts:/telco/2 template
    @@ -1,2 +1,2 @@
    -Help {{customer}} with the router.
    +Help {{customer}} with the router and 5G.
     Be kind.
    words added: ' and 5G'
    tags that differ: token_count
"""

import promptwire

client = promptwire.Client()
OLD = "Help {{customer}} with the router.\nBe kind.\n"
NEW = "Help {{customer}} with the router and 5G.\nBe kind.\n"
client.register_prompt("telco", OLD, "First", {"token_count": "250"})
client.register_prompt("telco", NEW, "5G and IoT", {"token_count": "310"})

for number in (1, 2):
    version = client.load_prompt("telco", version=number)
    print(f"version {version.version}: {version.tags['token_count']} tokens, {version.commit_message}")

diff = client.diff_prompt_versions("telco", 1, 2)  # either side may be an alias
template = diff.parts[0]
print(promptwire.PromptDiff(name=diff.name, before=diff.before, after=diff.after, parts=(template,)).unified(), end="")

words = [segment for hunk in template.hunks for line in hunk.lines for segment in line.segments]
print("words added:", *(repr(segment.text) for segment in words if segment.kind == "insert"))
print("tags that differ:", *(part.name.removeprefix("tags.") for part in diff.parts if part.name.startswith("tags.")))
