"""Trees of files as the kernel shows them: power supplies, sensors and energy counters of machines that people have.

Names and values are those of Linux's ABI documents (power_supply, hwmon, powercap), in the form that the kernel prints.
"""

from __future__ import annotations

from pathlib import Path

PLUGGED = {
    "sys/class/power_supply/AC/type": "Mains\n",
    "sys/class/power_supply/AC/online": "1\n",
    "sys/class/power_supply/BAT0/type": "Battery\n",
    "sys/class/power_supply/BAT0/scope": "System\n",
    "sys/class/power_supply/BAT0/status": "Charging\n",
}
UNPLUGGED = PLUGGED | {
    "sys/class/power_supply/AC/online": "0\n",
    "sys/class/power_supply/BAT0/status": "Discharging\n",
}
USB_C = {
    "sys/class/power_supply/ucsi-source-psy-1/type": "USB\n",
    "sys/class/power_supply/ucsi-source-psy-1/online": "0\n",
    "sys/class/power_supply/ucsi-source-psy-2/type": "USB\n",
    "sys/class/power_supply/ucsi-source-psy-2/online": "1\n",
    "sys/class/power_supply/BAT1/type": "Battery\n",
    "sys/class/power_supply/BAT1/status": "Not charging\n",
}
DESKTOP_WITH_MOUSE = {
    "sys/class/power_supply/hidpp_battery_0/type": "Battery\n",
    "sys/class/power_supply/hidpp_battery_0/scope": "Device\n",
    "sys/class/power_supply/hidpp_battery_0/status": "Discharging\n",
}
SENSORS = {
    "sys/class/hwmon/hwmon0/name": "nvme\n",
    "sys/class/hwmon/hwmon0/temp1_input": "84850\n",
    "sys/class/hwmon/hwmon1/name": "k10temp\n",
    "sys/class/hwmon/hwmon1/temp1_input": "61250\n",
    "sys/class/hwmon/hwmon1/temp3_input": "63000\n",
    "sys/class/hwmon/hwmon2/name": "amdgpu\n",
    "sys/class/hwmon/hwmon2/temp1_input": "\n",
    "sys/class/thermal/thermal_zone0/type": "x86_pkg_temp\n",
    "sys/class/thermal/thermal_zone0/temp": "59000\n",
    "sys/class/thermal/thermal_zone1/type": "iwlwifi_1\n",
    "sys/class/thermal/thermal_zone1/temp": "91000\n",
}
RAPL = {
    "sys/class/powercap/intel-rapl:0/energy_uj": "262100000000\n",
    "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "262143328850\n",
    "sys/class/powercap/intel-rapl:0:0/energy_uj": "1000000\n",
    "sys/class/powercap/intel-rapl:0:0/max_energy_range_uj": "262143328850\n",
}


def tree(root: Path, *files: dict[str, str]) -> Path:
    """Write the files below a directory; later ones replace earlier ones."""
    for some in files:
        for name, text in some.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return root
