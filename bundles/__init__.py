"""What hosts install as a whole: extensions, plugins, registry entries, links; made from the code and one address."""
