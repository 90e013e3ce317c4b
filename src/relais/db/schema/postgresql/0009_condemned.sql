-- Storage keys whose bytes shall go: no row names them, and none ever will. A key leaves when its bytes are gone.
CREATE TABLE condemned(
  key text COLLATE "C" PRIMARY KEY,
  at double precision NOT NULL
);

-- A program that does not know of them would index their bytes again.
UPDATE compatibility SET oldest = '0009_condemned';
