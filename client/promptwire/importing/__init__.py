"""What other registries hold, as prompt files that `files.restore` brings into a namespace. Needs `promptwire[cli]`."""
