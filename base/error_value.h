/* error_value.h - one failure, as it is handed to whoever has to act on it. */
#pragma once

/* Zero it before use. `text` is always terminated; a sentence too long for it is cut. */
struct error {
	int code; /* a positive errno, 0 while nothing failed */
	char text[480];
};
