"""Captions in XMP sidecars: what other programs read there, and that nobody's words are lost."""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from PIL import Image

from edgecap.errors import SidecarError
from edgecap_runtime.rdf import XmpError
from edgecap_runtime.sidecar import ALTERNATIVE_TEXT, DESCRIPTION, OURS, PROPERTIES, write_sidecar
from edgecap_runtime.xmp import Packet

CAPTION, OTHER = "a brown dog runs", "two dogs play <in> the \"grass\" & 'mud'"
NAMESPACES = (
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" '
    'xmlns:dc="http://purl.org/dc/elements/1.1/" '
    'xmlns:Iptc4xmpCore="http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/" '
    'xmlns:edgecap="urn:edgecap:xmp/1.0/"'
)


def packet(inside, attributes=""):
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF {NAMESPACES}><rdf:Description rdf:about="" {attributes}>{inside}'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def described(text, language="x-default", name="dc:description"):
    item = f'<rdf:li xml:lang="{language}">{text}</rdf:li>'
    return f"<{name}><rdf:Alt>{item}</rdf:Alt></{name}>"


# As digiKam, Lightroom and darktable write them, with what is easily lost: other prefixes,
# attributes, both quotes, comments, references, processing instructions, empty elements.
DIGIKAM = """<?xml version="1.0" encoding="UTF-8"?>
<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 4.4.0-Exiv2">
 <!-- a comment: é -->
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=''
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
   digiKam:PickLabel="0"
   xmp:Rating='4'
   digiKam:Note="one&#xA;two &quot;dc:description='x'&quot; >">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>People/Ann &amp; Bob</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList><empty xmlns="urn:other"/>
   <digiKam:Raw><![CDATA[<dc:description>]]></digiKam:Raw>
  </rdf:Description>
  <rdf:Description rdf:about="" xmlns:q="urn:q"><q:deep><rdf:Description><dc:description
    xmlns:dc="http://purl.org/dc/elements/1.1/">of a part</dc:description></rdf:Description>
   </q:deep>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end='w'?>"""
LIGHTROOM = """<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="Adobe XMP Core 7.0-c000">
 <r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <r:Description r:about="" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
   crs:Temperature="5500" crs:Note='a > b' />
 </r:RDF>
</x:xmpmeta>
"""
BARE = '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"/>'
FOREIGN = {"digikam": DIGIKAM, "lightroom": LIGHTROOM, "bare": BARE}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "a b.jpg"
    Image.new("RGB", (32, 32), "red").save(path)
    return path


@pytest.fixture
def sidecar(photo):
    return photo.with_name("a b.jpg.xmp")


def texts(path):
    found = Packet(path.read_bytes(), PROPERTIES)
    return tuple(found.text(one) for one in (DESCRIPTION, ALTERNATIVE_TEXT))


@pytest.fixture(scope="session")
def exiftool():
    """What exiftool reads in a file, by group and name."""
    program = shutil.which("exiftool")
    if program is None:
        pytest.skip("exiftool is not installed (Debian: libimage-exiftool-perl)")

    def read(path):
        done = subprocess.run(
            [program, "-j", "-G1", "-a", "-all", "-validate", path],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        (found,) = json.loads(done.stdout)
        return found

    return read


# What is written


def test_a_new_sidecar_holds_both_texts_and_the_photo_is_not_touched(photo, sidecar):
    before, status = photo.read_bytes(), photo.stat()
    assert write_sidecar(str(photo), CAPTION)
    assert texts(sidecar) == (CAPTION, CAPTION)
    assert (photo.read_bytes(), photo.stat().st_mtime_ns) == (before, status.st_mtime_ns)
    assert sorted(one.name for one in photo.parent.iterdir()) == ["a b.jpg", "a b.jpg.xmp"]


@pytest.mark.parametrize("content", [None, *FOREIGN.values()], ids=["new", *FOREIGN])
def test_exiftool_reads_it_and_finds_nothing_wrong(exiftool, photo, sidecar, content):
    if content is not None:
        sidecar.write_text(content, encoding="utf-8")
    before = {} if content is None else exiftool(sidecar)
    assert write_sidecar(str(photo), OTHER)
    found = exiftool(sidecar)
    assert found["XMP-dc:Description"] == OTHER
    assert found["XMP-iptcCore:AltTextAccessibility"] == OTHER
    assert found["ExifTool:Validate"] in ("OK", before.get("ExifTool:Validate"))
    said = {name: value for name, value in before.items() if name.startswith("XMP")}
    assert said.items() <= found.items()
    if content == DIGIKAM:
        assert said["XMP-xmp:Rating"] == 4
        assert said["XMP-digiKam:TagsList"] == "People/Ann & Bob"


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_all_else_stays_byte_for_byte(photo, sidecar, content, encoding):
    sidecar.write_bytes(content.encode(encoding))
    assert write_sidecar(str(photo), CAPTION)
    after = sidecar.read_bytes().decode(encoding)
    # What was put in, cut out again, leaves what was there.
    place = next(index for index, letter in enumerate(after) if content[index] != letter)
    added = len(after) - len(content)
    if content == DIGIKAM:
        assert after[:place] + after[place + added :] == content
    else:
        assert after.startswith(content[:place])
        assert after.endswith(content[place + 2 :])  # after the /> that had to be opened
    assert texts(sidecar) == (CAPTION, CAPTION)
    ElementTree.fromstring(after.encode("utf-8"))


def test_a_second_time_nothing_is_written(photo, sidecar):
    write_sidecar(str(photo), CAPTION)
    before = sidecar.stat()
    assert write_sidecar(str(photo), CAPTION)
    after = sidecar.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("content", [None, *FOREIGN.values()], ids=["new", *FOREIGN])
def test_our_own_caption_gives_way_to_a_new_one(photo, sidecar, content):
    if content is not None:
        sidecar.write_text(content, encoding="utf-8")
    write_sidecar(str(photo), CAPTION)
    first = sidecar.read_bytes()
    assert write_sidecar(str(photo), OTHER)
    assert texts(sidecar) == (OTHER, OTHER)
    assert write_sidecar(str(photo), CAPTION)
    assert sidecar.read_bytes() == first


def test_our_mark_is_known_where_another_program_made_it_an_attribute(photo, sidecar):
    write_sidecar(str(photo), CAPTION)
    mark = Packet(sidecar.read_bytes(), PROPERTIES).text(OURS)
    said = described(CAPTION)
    sidecar.write_text(packet(said, f"edgecap:CaptionSHA256='{mark}'"))
    assert write_sidecar(str(photo), OTHER)
    assert texts(sidecar) == (OTHER, OTHER)
    assert sidecar.read_text().count("CaptionSHA256") == 1


# Somebody's own words

OWN = "Grandma's 80th"
PLACES = {
    "in any language": (described(OWN), ""),
    "in German alone": (described(OWN, "de-DE"), ""),
    "in no language": (f"<dc:description>{OWN}</dc:description>", ""),
    "as an attribute": ("", f'dc:description="{OWN}"'),
    "in a list": (f"<dc:description><rdf:Bag><rdf:li>{OWN}</rdf:li></rdf:Bag></dc:description>",
                  ""),
    "without a language": (
        f"<dc:description><rdf:Alt><rdf:li>{OWN}</rdf:li></rdf:Alt></dc:description>", ""
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_somebodys_own_words_stay_unless_asked(photo, sidecar, place):
    sidecar.write_text(packet(*PLACES[place]))
    before = sidecar.read_text()
    assert not write_sidecar(str(photo), CAPTION)
    description, alternative = texts(sidecar)
    assert OWN in description
    assert alternative == CAPTION  # nobody had said anything there
    without = sidecar.read_text()
    assert before.removesuffix("</rdf:Description></rdf:RDF></x:xmpmeta>") in without

    assert not write_sidecar(str(photo), OTHER)
    assert OWN in texts(sidecar)[0]
    assert texts(sidecar)[1] == OTHER

    assert write_sidecar(str(photo), CAPTION, overwrite=True)
    assert texts(sidecar) == (CAPTION, CAPTION)
    assert (OWN in sidecar.read_text()) == ("German" in place)  # that was not asked for
    assert write_sidecar(str(photo), OTHER)


def test_exiftool_agrees_whose_words_are_there(exiftool, photo, sidecar):
    for place in PLACES.values():
        sidecar.write_text(packet(*place))
        write_sidecar(str(photo), CAPTION, overwrite=True)
        found = exiftool(sidecar)
        assert found["XMP-dc:Description"] == CAPTION
        assert found["XMP-iptcCore:AltTextAccessibility"] == CAPTION


def test_words_that_somebody_changed_are_theirs(photo, sidecar):
    write_sidecar(str(photo), CAPTION)
    place = sidecar.read_text().index(CAPTION)
    text = sidecar.read_text()
    sidecar.write_text(text[:place] + OWN + text[place + len(CAPTION) :])
    assert not write_sidecar(str(photo), OTHER)
    assert texts(sidecar) == (OWN, OTHER)


@pytest.mark.parametrize(
    "inside",
    [
        "",
        described(""),
        "<dc:description/>",
        "<dc:description><rdf:Alt/></dc:description>",
        '<dc:description><rdf:Alt><rdf:li xml:lang="x-default"/></rdf:Alt></dc:description>',
    ],
)
def test_where_nothing_is_said_the_caption_is_written(photo, sidecar, inside):
    sidecar.write_text(packet(inside))
    assert write_sidecar(str(photo), CAPTION)
    assert texts(sidecar) == (CAPTION, CAPTION)
    assert sidecar.read_text().count("dc:description>") == 2


def test_words_in_the_photo_itself_are_not_hidden(photo, sidecar):
    with Image.open(photo) as image:
        image.save(photo, xmp=packet(described(OWN)).encode())
    assert not write_sidecar(str(photo), CAPTION)
    assert texts(sidecar) == ("", CAPTION)
    assert write_sidecar(str(photo), CAPTION, overwrite=True)
    assert texts(sidecar) == (CAPTION, CAPTION)


def test_a_photo_whose_own_packet_is_broken_has_no_words(photo, sidecar):
    with Image.open(photo) as image:
        image.save(photo, xmp=b"<broken")
    assert write_sidecar(str(photo), CAPTION)
    assert texts(sidecar) == (CAPTION, CAPTION)


def test_a_sidecar_of_the_shorter_name_is_not_hidden(photo, sidecar):
    short = photo.with_name("a b.xmp")
    short.write_text(packet(described(OWN)))
    assert not write_sidecar(str(photo), CAPTION)
    assert not sidecar.exists()
    assert write_sidecar(str(photo), CAPTION, overwrite=True)
    assert short.read_text() == packet(described(OWN))


def test_an_empty_caption_is_not_written(photo, sidecar):
    assert not write_sidecar(str(photo), "")
    assert not sidecar.exists()


# Files


def test_a_link_stays_a_link_and_rights_are_kept(photo, sidecar, tmp_path):
    target = tmp_path / "elsewhere.xmp"
    target.write_text(packet(""))
    target.chmod(0o640)
    sidecar.symlink_to(target)
    assert write_sidecar(str(photo), CAPTION)
    assert sidecar.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert texts(target) == (CAPTION, CAPTION)


def test_an_empty_file_becomes_a_sidecar(photo, sidecar):
    sidecar.touch()
    assert write_sidecar(str(photo), CAPTION)
    assert texts(sidecar) == (CAPTION, CAPTION)


BOMB = (
    '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    f"{packet(described('&b;'))}"
)
STRANGE = {
    "bomb": (BOMB, "has a document type"),
    "outside": ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', "has a document type"),
    "broken": (packet(described(OWN))[:-20], "is broken XML"),
    "text": ("my notes", "is broken XML"),
    "other": ("<html><body/></html>", "is no XMP"),
    "deep": ("<a>" * 5_000 + "</a>" * 5_000, "is nested more than"),
    "latin": ('<?xml version="1.0" encoding="ISO-8859-1"?>' + packet(""), "is in ISO-8859-1"),
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_sound_sidecar_is_left_as_it_is(photo, sidecar, name, overwrite):
    content, part = STRANGE[name]
    sidecar.write_text(content)
    with pytest.raises(SidecarError) as caught:
        write_sidecar(str(photo), CAPTION, overwrite=overwrite)
    assert str(caught.value).startswith(f"{sidecar}: {part}")
    assert "\n" not in str(caught.value)
    assert sidecar.read_text() == content


def test_bytes_that_are_no_utf_8_are_refused(photo, sidecar):
    sidecar.write_bytes(packet(described("caf\xe9")).encode("latin-1"))
    with pytest.raises(SidecarError, match="is not in UTF-8"):
        write_sidecar(str(photo), CAPTION)


def test_what_is_too_large_or_no_file_is_refused(photo, sidecar):
    with sidecar.open("wb") as file:
        file.truncate(20_000_000)
    with pytest.raises(SidecarError, match="16,000,000 bytes"):
        write_sidecar(str(photo), CAPTION)
    sidecar.unlink()
    sidecar.mkdir()
    with pytest.raises(SidecarError, match="expected a file"):
        write_sidecar(str(photo), CAPTION)


def test_a_folder_that_takes_no_file_is_named(photo, sidecar):
    Path(f"{photo.parent}/.{sidecar.name}.partial").mkdir()  # where it would be written first
    with pytest.raises(SidecarError) as caught:
        write_sidecar(str(photo), CAPTION)
    assert str(caught.value).startswith(f"{photo.parent}: no sidecar can be written there (")
    assert not sidecar.exists()


def test_a_packet_says_what_it_is_not():
    with pytest.raises(XmpError, match="broken"):
        Packet(b"", PROPERTIES)
