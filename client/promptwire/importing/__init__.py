"""What other registries hold, as prompt files, which `files.restore` brings into a namespace. Needs `promptwire[cli]`."""
