"""
The charsets that a Content-Type may name, and what Python calls them.

Only what stands here is ever looked up: Python keeps every name that it has
been asked for, known or not, and peers think of any number of names.

The labels are those of the WHATWG's Encoding Standard, section 4.2, as far as
Python has the encoding, and of IANA's registry and Python itself those in use.
A label that Python knows means what Python has it mean (C{iso-8859-1} is not
C{windows-1252}).
"""

from __future__ import annotations

# The longest label below has fewer characters.
LONGEST = 40

# Each line: Python's codec, then its labels in lower case, with "-" for "_".
_LABELS = """
utf-8               utf-8 utf8 u8 utf unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8 cp65001 csutf8
utf-8               utf-8-sig utf8-sig
utf-16              utf-16 utf16 u16 csutf16 iso-10646-ucs-2 ucs-2 unicode csunicode
utf-16-le           utf-16le utf-16-le unicodefeff csutf16le unicodelittleunmarked
utf-16-be           utf-16be utf-16-be unicodefffe csutf16be unicodebigunmarked
utf-32              utf-32 utf32 u32 csutf32
utf-32-le           utf-32le utf-32-le csutf32le
utf-32-be           utf-32be utf-32-be csutf32be
ascii               us-ascii ascii us 646 csascii ansi-x3.4-1968 ansi-x3.4-1986 iso646-us iso-ir-6 iso-646.irv:1991
ascii               ibm367 cp367 ansi-x3-4-1968
iso8859-1           iso-8859-1 iso8859-1 iso88591 iso-8859-1:1987 iso-ir-100 latin-1 latin1 latin l1 csisolatin1
iso8859-1           ibm819 cp819 8859 iso8859
iso8859-2           iso-8859-2 iso8859-2 iso88592 iso-8859-2:1987 iso-ir-101 latin-2 latin2 l2 csisolatin2
iso8859-3           iso-8859-3 iso8859-3 iso88593 iso-8859-3:1988 iso-ir-109 latin-3 latin3 l3 csisolatin3
iso8859-4           iso-8859-4 iso8859-4 iso88594 iso-8859-4:1988 iso-ir-110 latin-4 latin4 l4 csisolatin4
iso8859-5           iso-8859-5 iso8859-5 iso88595 iso-8859-5:1988 iso-ir-144 cyrillic csisolatincyrillic
iso8859-6           iso-8859-6 iso8859-6 iso88596 iso-8859-6:1987 iso-ir-127 arabic csisolatinarabic asmo-708 ecma-114
iso8859-6           iso-8859-6-e iso-8859-6-i csiso88596e csiso88596i
iso8859-7           iso-8859-7 iso8859-7 iso88597 iso-8859-7:1987 iso-ir-126 greek greek8 csisolatingreek ecma-118
iso8859-7           elot-928 sun-eu-greek
iso8859-8           iso-8859-8 iso8859-8 iso88598 iso-8859-8:1988 iso-ir-138 hebrew csisolatinhebrew visual logical
iso8859-8           iso-8859-8-e iso-8859-8-i csiso88598e csiso88598i
iso8859-9           iso-8859-9 iso8859-9 iso88599 iso-8859-9:1989 iso-ir-148 latin-5 latin5 l5 csisolatin5
iso8859-10          iso-8859-10 iso8859-10 iso885910 iso-8859-10:1992 iso-ir-157 latin-6 latin6 l6 csisolatin6
iso8859-11          iso-8859-11 iso8859-11 iso885911 iso-8859-11:2001 thai
iso8859-13          iso-8859-13 iso8859-13 iso885913 latin-7 latin7 l7
iso8859-14          iso-8859-14 iso8859-14 iso885914 iso-8859-14:1998 iso-ir-199 latin-8 latin8 l8 iso-celtic
iso8859-15          iso-8859-15 iso8859-15 iso885915 csisolatin9 latin-9 latin9 l9
iso8859-16          iso-8859-16 iso8859-16 iso885916 iso-8859-16:2001 iso-ir-226 latin-10 latin10 l10
cp1250              windows-1250 windows1250 cp1250 x-cp1250 1250
cp1251              windows-1251 windows1251 cp1251 x-cp1251 1251
cp1252              windows-1252 windows1252 cp1252 x-cp1252 1252
cp1253              windows-1253 windows1253 cp1253 x-cp1253 1253
cp1254              windows-1254 windows1254 cp1254 x-cp1254 1254
cp1255              windows-1255 windows1255 cp1255 x-cp1255 1255
cp1256              windows-1256 windows1256 cp1256 x-cp1256 1256
cp1257              windows-1257 windows1257 cp1257 x-cp1257 1257
cp1258              windows-1258 windows1258 cp1258 x-cp1258 1258
cp874               windows-874 cp874 dos-874
tis-620             tis-620 tis620 tis-620-0 tis-620-2529-0 tis-620-2529-1 iso-ir-166
cp437               ibm437 cp437 437
cp720               cp720
cp737               ibm737 cp737
cp775               ibm775 cp775 775
cp850               ibm850 cp850 850
cp852               ibm852 cp852 852
cp855               ibm855 cp855 855
cp857               ibm857 cp857 857
cp858               ibm858 cp858 858
cp860               ibm860 cp860 860
cp861               ibm861 cp861 861 cp-is
cp862               ibm862 cp862 862
cp863               ibm863 cp863 863
cp864               ibm864 cp864 864
cp865               ibm865 cp865 865
cp866               ibm866 cp866 866 csibm866
cp869               ibm869 cp869 869 cp-gr
cp1125              cp1125 1125 ibm1125 ruscii cp866u
koi8-r              koi8-r koi8 koi koi8r cskoi8r
koi8-u              koi8-u koi8-ru koi8u
koi8-t              koi8-t
kz1048              kz-1048 kz1048 rk1048 strk1048-2002
ptcp154             ptcp154 pt154 cp154 csptcp154 cyrillic-asian
hp-roman8           hp-roman8 cp1051 ibm1051 roman8 r8 cshproman8
mac-roman           macintosh mac-roman macroman mac csmacintosh x-mac-roman
mac-cyrillic        x-mac-cyrillic x-mac-ukrainian mac-cyrillic maccyrillic
mac-greek           x-mac-greek mac-greek macgreek
mac-iceland         x-mac-icelandic mac-iceland maciceland
mac-latin2          x-mac-ce mac-latin2 maclatin2 maccentraleurope mac-centeuro
mac-croatian        mac-croatian
mac-romanian        mac-romanian
mac-turkish         x-mac-turkish mac-turkish macturkish
gb2312              gb2312 gb2312-80 gb2312-1980 eucgb2312-cn euccn euc-cn chinese csiso58gb231280 iso-ir-58
gbk                 gbk cp936 936 ms936 windows-936 x-gbk csgb2312 gb-2312 gb-2312-80
gb18030             gb18030 gb18030-2000
hz                  hz-gb-2312 hz-gb hzgb hz
big5                big5 big5-tw csbig5 x-x-big5 cn-big5
big5hkscs           big5-hkscs big5hkscs hkscs
cp950               cp950 950 ms950 windows-950
euc-jp              euc-jp eucjp ujis u-jis x-euc-jp cseucpkdfmtjapanese
euc-jisx0213        euc-jisx0213 eucjisx0213
euc-jis-2004        euc-jis-2004 eucjis2004 euc-jis2004 jisx0213
iso2022-jp          iso-2022-jp iso2022-jp iso2022jp csiso2022jp
iso2022-jp-1        iso-2022-jp-1 iso2022-jp-1 iso2022jp-1
iso2022-jp-2        iso-2022-jp-2 iso2022-jp-2 iso2022jp-2
iso2022-jp-2004     iso-2022-jp-2004 iso2022-jp-2004 iso2022jp-2004
iso2022-jp-3        iso-2022-jp-3 iso2022-jp-3 iso2022jp-3
iso2022-jp-ext      iso-2022-jp-ext iso2022-jp-ext iso2022jp-ext
shift-jis           shift-jis shiftjis sjis s-jis csshiftjis x-sjis
shift-jis-2004      shift-jis-2004 shiftjis2004 sjis-2004 s-jis-2004
shift-jisx0213      shift-jisx0213 shiftjisx0213 sjisx0213 s-jisx0213
cp932               windows-31j cp932 932 ms932 mskanji ms-kanji
euc-kr              euc-kr euckr korean ksc5601 ks-c-5601 ks-c-5601-1987 ks-c-5601-1989 ksx1001 ks-x-1001
euc-kr              cseuckr csksc56011987 iso-ir-149 ksc-5601
cp949               windows-949 cp949 949 ms949 uhc
iso2022-kr          iso-2022-kr iso2022-kr iso2022kr csiso2022kr
johab               johab cp1361 ms1361
"""


def _parsed() -> dict[str, str]:
    codecs = {}
    for line in _LABELS.strip().splitlines():
        codec, *labels = line.split()
        codecs.update(dict.fromkeys(labels, codec))
    return codecs


_CODECS = _parsed()


def codecOf(charset: str) -> str | None:
    """
    Return Python's name of the codec for C{charset}; L{None} if the table doesn't have it.
    """
    if len(charset) > LONGEST:
        return None
    return _CODECS.get(charset.strip("\t ").lower().replace("_", "-"))
