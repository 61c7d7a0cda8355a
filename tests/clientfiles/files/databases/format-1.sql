BEGIN TRANSACTION;
CREATE TABLE entry (file TEXT NOT NULL REFERENCES file (path), position INTEGER NOT NULL, key_path TEXT NOT NULL, name TEXT NOT NULL, title TEXT NOT NULL, former TEXT NOT NULL, ours TEXT NOT NULL, written TEXT, PRIMARY KEY (file, position)) WITHOUT ROWID;
INSERT INTO "entry" VALUES('/home/user/.claude.json',0,'["mcpServers", "a"]','a','a','{"command": "sh", "env": {"TOKEN": "a-secret-value"}}','{"type": "http", "url": "http://localhost:9100/a/mcp"}','{
      "command": "sh",
      "env": {
        "TOKEN": "a-secret-value"
      }
    }');
CREATE TABLE file (path TEXT PRIMARY KEY, named TEXT NOT NULL, client TEXT NOT NULL, mode TEXT NOT NULL, project TEXT NOT NULL, suspended TEXT NOT NULL, is_watched INTEGER NOT NULL, registered_at REAL NOT NULL, steps TEXT NOT NULL, checksum TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "file" VALUES('/home/user/.claude.json','/home/user/.claude.json','claude-code','http','','',1,1.79541402546771669381e+09,'[["be9443b99bb3a25639c92efab23dabfdf0a063e3c34a3e4465275859c9aaf764", "1ade02f1cdd457dc0a54299a8e540be4c108f1d33e31d5fe358b174d3c30935b", [[38, "command\": \"sh\",\n      \"env\": {\n        \"TOKEN\": \"a-secret-value\"\n      }", "type\": \"http\",\n      \"url\": \"http://localhost:9100/a/mcp\""]]]]','957736713ea54041a6d74a9e08858c110662cd6503ee6e4153641bcc533c8536');
CREATE TABLE intent (id INTEGER PRIMARY KEY, path TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, latter TEXT NOT NULL, checksum TEXT NOT NULL);
CREATE TABLE opted_out (name TEXT PRIMARY KEY, checksum TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "opted_out" VALUES('windsurf:two','879feca2a59439c93e85c3c219ca732f6fc703d8440a5f25d5f92fca68b8b4af');
CREATE TABLE state (revision INTEGER NOT NULL);
INSERT INTO "state" VALUES(4);
COMMIT;
PRAGMA user_version = 1;
