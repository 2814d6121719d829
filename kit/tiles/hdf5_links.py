"""Whether all that an HDF5 file shows is in the file itself.

A link, a virtual data set or external storage names another file, which would be read as pixels
wherever it lies.
"""

from typing import Any

_MOST_OBJECTS = 10_000


def reference(file: Any) -> str:
    """Where an open h5py file refers to another one, in words; "" where it does not.

    Links of kinds that only a plugin knows count as such, and so do more objects than any file of
    the challenge has.
    """
    import h5py

    seen = {file.id}
    groups, objects = [file], 0
    while groups:
        group = groups.pop()
        for name in group:
            objects += 1
            if objects > _MOST_OBJECTS:
                return f"has more than {_MOST_OBJECTS:,} objects"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.SoftLink):
                continue  # to a name in the file, which comes up by itself
            if not isinstance(link, h5py.HardLink):
                return f"has a link to another file: {name}"
            found = group[name]
            if isinstance(found, h5py.Dataset):
                if found.is_virtual:
                    return f"{name} is a virtual data set"
                if found.id.get_create_plist().get_external_count():
                    return f"the data of {name} are in another file"
            elif isinstance(found, h5py.Group) and found.id not in seen:
                seen.add(found.id)
                groups.append(found)
    return ""
