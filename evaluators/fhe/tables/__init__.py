"""Tables of constants, one TOML file each. A package, so that wheels carry the files."""
