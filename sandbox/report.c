#include "sandbox/report.h"

#include "sandbox/outcome.h"

#include <stdio.h>

/* The text as a JSON string; what isn't plain ASCII becomes \u00NN, so that a file name in any
 * encoding gives valid JSON. */
static int append_string(struct buffer *out, const char *text)
{
	int rc = buffer_append(out, "\"", 1);

	for (; *text && rc == 0; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			rc = buffer_printf(out, "\\%c", c);
		else if (c < 0x20 || c > 0x7e)
			rc = buffer_printf(out, "\\u%04x", c);
		else
			rc = buffer_append(out, text, 1);
	}
	return rc < 0 ? rc : buffer_append(out, "\"", 1);
}

static int append_named(struct buffer *out, const char *name, const char *text)
{
	int rc = buffer_printf(out, "  \"%s\": ", name);

	if (rc == 0)
		rc = text ? append_string(out, text) : buffer_printf(out, "null");
	return rc < 0 ? rc : buffer_printf(out, ",\n");
}

static int append_ending(struct buffer *out, const struct sandbox_outcome *o)
{
	char code[16] = "null", signal[16] = "null";

	if (o->exit_code >= 0)
		(void)snprintf(code, sizeof(code), "%d", o->exit_code);
	if (o->signal)
		(void)snprintf(signal, sizeof(signal), "%d", o->signal);
	return buffer_printf(out,
			     "  \"exit_code\": %s,\n  \"signal\": %s,\n  \"infrastructure\": %s,\n"
			     "  \"output_cut\": %s,\n",
			     code, signal, o->infrastructure ? "true" : "false",
			     o->output_cut ? "true" : "false");
}

static int append_denied(struct buffer *out, const struct sandbox_outcome *o)
{
	int rc = buffer_printf(out, "  \"denied\": [");

	for (size_t i = 0; i < o->denied_count && rc == 0; i++) {
		rc = buffer_printf(out, "%s\n    {\"name\": ", i ? "," : "");
		if (rc == 0)
			rc = append_string(out, o->denied[i].name);
		if (rc == 0)
			rc = buffer_printf(out, ", \"count\": %llu, \"hint\": ",
					   (unsigned long long)o->denied[i].count);
		if (rc == 0)
			rc = append_string(out, o->denied[i].hint ? o->denied[i].hint : "");
		if (rc == 0)
			rc = buffer_printf(out, "}");
	}
	return rc < 0 ? rc : buffer_printf(out, "%s],\n", o->denied_count ? "\n  " : "");
}

static int append_usage(struct buffer *out, const struct sandbox_usage *u)
{
	const struct {
		const char *name;
		uint64_t value;
		unsigned bit; /* in `measured`; 0: always */
	} all[] = {
		{"wall_ms", u->wall_ms, 0},
		{"cpu_ms", u->cpu_user_ms + u->cpu_system_ms, SANDBOX_MEASURED_CPU},
		{"cpu_user_ms", u->cpu_user_ms, SANDBOX_MEASURED_CPU},
		{"cpu_system_ms", u->cpu_system_ms, SANDBOX_MEASURED_CPU},
		{"memory_peak", u->memory_peak, SANDBOX_MEASURED_MEMORY},
		{"tasks_peak", u->tasks_peak, SANDBOX_MEASURED_TASKS},
		{"disk_peak", u->disk_peak, SANDBOX_MEASURED_DISK},
		{"io_read_bytes", u->io_read_bytes, SANDBOX_MEASURED_IO_READ},
		{"io_write_bytes", u->io_write_bytes, SANDBOX_MEASURED_IO_WRITE},
		{"output_bytes", u->output_bytes, 0},
		{"pressure_cpu_ms", u->pressure_cpu_ms, SANDBOX_MEASURED_PRESSURE},
		{"pressure_memory_ms", u->pressure_memory_ms, SANDBOX_MEASURED_PRESSURE},
		{"pressure_io_ms", u->pressure_io_ms, SANDBOX_MEASURED_PRESSURE},
	};
	int rc = buffer_printf(out, "  \"usage\": {");

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]) && rc == 0; i++) {
		rc = buffer_printf(out, "%s\"%s\": ", i ? ", " : "", all[i].name);
		if (rc == 0)
			rc = (u->measured & all[i].bit) == all[i].bit
				     ? buffer_printf(out, "%llu", (unsigned long long)all[i].value)
				     : buffer_printf(out, "null");
	}
	return rc < 0 ? rc : buffer_printf(out, "}\n}\n");
}

int report_json(const struct sandbox_outcome *o, struct buffer *out)
{
	int rc = buffer_printf(out, "{\n");

	if (rc == 0)
		rc = append_named(out, "verdict", outcome_verdict_name(o->verdict));
	if (rc == 0)
		rc = append_named(out, "reason", o->reason);
	if (rc == 0)
		rc = append_ending(out, o);
	if (rc == 0)
		rc = append_named(out, "limit", o->limit);
	if (rc == 0)
		rc = append_denied(out, o);
	return rc < 0 ? rc : append_usage(out, &o->usage);
}
