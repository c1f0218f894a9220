#pragma once

#include "DatasetKernels.h"
#include "NeuralKernels.h"
#include "SpinWait.h"
#include "UpdateKernels.h"
