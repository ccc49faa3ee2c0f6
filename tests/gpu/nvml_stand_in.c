/* A stand-in for NVIDIA's NVML with two cards, for tests on machines without one. The first answers all
 * that Crucible asks and uses 3 J between two questions; the second knows its memory only.
 * Names, codes and structures are those of the public nvml.h, and it is as strict as the real library: nothing
 * is answered before nvmlInit_v2, no handle that it did not give out is taken, a structure with a version has to
 * carry its own size and version, and a list that is too short is refused with the length that it needs.
 * With BEFORE_R510 it is a driver of the branch R470, which has neither nvmlDeviceGetMemoryInfo_v2 nor
 * nvmlDeviceGetComputeRunningProcesses_v3 but their versions before. */
#include <stddef.h>
#include <stdlib.h>

enum {
  SUCCESS = 0,
  UNINITIALIZED = 1,
  INVALID_ARGUMENT = 2,
  NOT_SUPPORTED = 3,
  INSUFFICIENT_SIZE = 7,
  ARGUMENT_VERSION_MISMATCH = 25,
};
enum { CARDS = 2, TEMPERATURE_GPU = 0, PROCESSES = 1 };

/* NVML_STRUCT_VERSION of nvml.h: the size of the structure, and its version in the highest byte. */
#define VERSION(type, number) ((unsigned int)(sizeof(type) | ((number) << 24)))
#define RESERVED 400000000ULL

typedef struct { int number; } card;
typedef struct { unsigned long long total, free, used; } memory_v1;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned int gpu, memory; } utilization;
typedef struct {
  unsigned int pid;
  unsigned long long used;
  unsigned int gpu_instance, compute_instance;
} process;

static card cards[CARDS] = {{0}, {1}};
static int initialized = 0;

/* The code for a question to this card, whose answer goes there. */
static int asked(const card *device, const void *answer) {
  if (!initialized) return UNINITIALIZED;
  if (device != &cards[0] && device != &cards[1]) return INVALID_ARGUMENT;
  return answer ? SUCCESS : INVALID_ARGUMENT;
}

/* The same where only the first card knows it. */
static int of_first(const card *device, const void *answer) {
  int code = asked(device, answer);
  return code == SUCCESS && device->number ? NOT_SUPPORTED : code;
}

int nvmlInit_v2(void) {
  initialized++;
  return SUCCESS;
}
int nvmlShutdown(void) {
  if (!initialized) return UNINITIALIZED;
  initialized--;
  return SUCCESS;
}
const char *nvmlErrorString(int code) {
  return code == SUCCESS ? "Success" : "Error";
}
int nvmlDeviceGetCount_v2(unsigned int *count) {
  if (!initialized) return UNINITIALIZED;
  if (!count) return INVALID_ARGUMENT;
  *count = CARDS;
  return SUCCESS;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, card **device) {
  if (!initialized) return UNINITIALIZED;
  if (index >= CARDS || !device) return INVALID_ARGUMENT;
  *device = &cards[index];
  return SUCCESS;
}
/* What processes hold, and what the driver keeps for itself. */
static unsigned long long all_of(const card *device) {
  return device->number ? 8000000000ULL : 24000000000ULL;
}
static unsigned long long held_of(const card *device) {
  return device->number ? 1000000000ULL : 6000000000ULL;
}
#ifdef BEFORE_R510
int nvmlDeviceGetMemoryInfo(card *device, memory_v1 *told) {
  int code = asked(device, told);
  if (code != SUCCESS) return code;
  told->total = all_of(device);
  /* The total is the sum of both others: what the driver keeps for itself is used. */
  told->used = held_of(device) + RESERVED;
  told->free = told->total - told->used;
  return SUCCESS;
}
#else
int nvmlDeviceGetMemoryInfo_v2(card *device, memory_v2 *told) {
  int code = asked(device, told);
  if (code != SUCCESS) return code;
  if (told->version != VERSION(memory_v2, 2)) return ARGUMENT_VERSION_MISMATCH;
  told->total = all_of(device);
  told->used = held_of(device);
  /* What the driver keeps for itself is neither used nor free. */
  told->reserved = RESERVED;
  told->free = told->total - told->reserved - told->used;
  return SUCCESS;
}
#endif
int nvmlDeviceGetUtilizationRates(card *device, utilization *told) {
  int code = of_first(device, told);
  if (code != SUCCESS) return code;
  told->gpu = 37;
  told->memory = 12;
  return SUCCESS;
}
int nvmlDeviceGetTemperature(card *device, int sensor, unsigned int *celsius) {
  int code = of_first(device, celsius);
  if (code != SUCCESS) return code;
  if (sensor != TEMPERATURE_GPU) return INVALID_ARGUMENT;
  *celsius = 61;
  return SUCCESS;
}
int nvmlDeviceGetPowerUsage(card *device, unsigned int *milliwatts) {
  int code = of_first(device, milliwatts);
  if (code != SUCCESS) return code;
  *milliwatts = 215500;
  return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(card *device, unsigned long long *millijoules) {
  static unsigned long long used = 1000000;
  int code = of_first(device, millijoules);
  if (code != SUCCESS) return code;
  *millijoules = used += 3000;
  return SUCCESS;
}
#ifdef BEFORE_R510
#define RUNNING_PROCESSES nvmlDeviceGetComputeRunningProcesses_v2
#else
#define RUNNING_PROCESSES nvmlDeviceGetComputeRunningProcesses_v3
#endif
int RUNNING_PROCESSES(card *device, unsigned int *count, process *list) {
  int code = asked(device, count);
  if (code != SUCCESS) return code;
  if (*count < PROCESSES) {
    *count = PROCESSES;
    return INSUFFICIENT_SIZE;
  }
  if (!list) return INVALID_ARGUMENT;
  /* The one that the test names, else the first process of every system, so that there is one. */
  const char *named = getenv("NVML_STAND_IN_PROCESS");
  list[0] = (process){.pid = named ? (unsigned int)strtoul(named, NULL, 10) : 1, .used = 1000000, .gpu_instance = ~0U, .compute_instance = ~0U};
  *count = PROCESSES;
  return SUCCESS;
}
