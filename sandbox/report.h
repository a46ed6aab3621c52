/* report.h - an outcome as JSON. Pure. */
#pragma once

#include "base/buffer.h"
#include "sandbox/sandbox.h"

/* One object and a newline appended to `out`; -ENOMEM. */
int report_json(const struct sandbox_outcome *outcome, struct buffer *out);
