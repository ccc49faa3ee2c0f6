"""Values as a person reads them, by Grafana's names of units."""


def scaled(value, base, names):
    for name in names[:-1]:
        if abs(value) < base:
            return value, name
        value /= base
    return value, names[-1]


def digits(value, decimals=None):
    value = round(value, 9)
    if decimals is None:
        decimals = 0 if value == int(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{decimals}f}"


def duration(value, decimals):
    for limit, factor, name in (
        (1e-3, 1e6, "µs"), (1, 1e3, "ms"), (60, 1, "s"), (3600, 1 / 60, "min"), (86400, 1 / 3600, "h"),
    ):
        if abs(value) < limit and value != 0 or (value == 0 and name == "s"):
            return f"{digits(value * factor, decimals)} {name}"
    return f"{digits(value / 86400, decimals)} d"


def shown(value, unit, decimals=None):
    if value != value:
        return "-"
    if unit == "s":
        return duration(value, decimals)
    if unit == "percentunit":
        return f"{digits(value * 100, decimals)} %"
    if unit in ("bytes", "binBps"):
        number, name = scaled(value, 1024, ["B", "KiB", "MiB", "GiB", "TiB"])
        return f"{digits(number, decimals)} {name}" + ("/s" if unit == "binBps" else "")
    if unit.startswith("suffix:"):
        number, name = scaled(value, 1000, ["", "K", "M"])
        return digits(number, decimals) + name + unit.removeprefix("suffix:")
    number, name = scaled(value, 1000, ["", "K", "M", "G", "T"])
    return digits(number, decimals) + name + {"watt": " W", "celsius": " °C"}.get(unit, "")
