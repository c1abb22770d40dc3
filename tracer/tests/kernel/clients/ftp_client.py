# One control connection: stores and fetches each file, lists, in passive and in active mode.
import ftplib, io, sys

port, *files = sys.argv[1:]
ftp = ftplib.FTP()
ftp.connect("127.0.0.1", int(port))
ftp.login()
for number, path in enumerate(files):
    name = path.rsplit("/", 1)[1]
    ftp.set_pasv(number % 2 == 0)
    with open(path, "rb") as file:
        ftp.storbinary("STOR " + name, file)
    ftp.retrbinary("RETR " + name, lambda _: None)
    ftp.nlst()
    list(ftp.mlsd())
ftp.mkd("a folder")
for number in range(4):
    ftp.set_pasv(number % 2 == 0)
    ftp.storbinary("STOU", io.BytesIO(b"u" * (30_000 + number)))
    ftp.storbinary(f"APPE a folder/né {number}", io.BytesIO(b"a" * (50_000 + number)))
ftp.quit()
