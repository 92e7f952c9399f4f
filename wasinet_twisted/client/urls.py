from typing import NamedTuple
class Origin(NamedTuple):
    scheme: str
    host: str
    port: int
class Target:
    __slots__=("origin","path","host","fragment","userinfo")
    def __str__(self): return f"{self.origin.scheme}://{self.host}{self.path}"
def parseUrl(url):
    t=Target()
    scheme,_,rest=url.partition("://")
    a,slash,path=rest.partition("/")
    h,_,p=a.partition(":")
    t.origin=Origin(scheme,h,int(p or (443 if scheme=="https" else 80))); t.path="/"+path; t.host=a; t.fragment=""; t.userinfo=None
    return t
